import { ref } from 'vue'
import { createRouter, createWebHistory } from 'vue-router'

import ProductList from './pages/ProductList.vue'

// The first page comes with the first script; every other one is a chunk of its own.
const routes = [
  { path: '/', name: 'list', component: ProductList, meta: { title: 'Parts that keep turning' } },
  { path: '/parts/:slug', name: 'product', component: () => import('./pages/ProductPage.vue') },
  { path: '/cart', name: 'cart', component: () => import('./pages/CartPage.vue'), meta: { title: 'Your cart' } },
  { path: '/checkout', name: 'checkout', component: () => import('./pages/CheckoutPage.vue'), meta: { title: 'Checkout' } },
  { path: '/orders/:number', name: 'order', component: () => import('./pages/OrderPage.vue'), meta: { title: 'Thank you' } },
  { path: '/:rest(.*)*', name: 'lost', component: () => import('./pages/LostPage.vue'), meta: { title: 'Not found' } },
]

export const router = createRouter({
  history: createWebHistory(),
  routes,
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
})

export function setTitle(title) {
  document.title = title ? `${title} · Freewheel` : 'Freewheel'
}

router.afterEach((to) => {
  missing.value = ''
  setTitle(to.meta.title)
})

/** The page that could not be loaded, if there is one. */
export const missing = ref('')

// After a release an open page may ask for a chunk that is gone. Then the whole new page is loaded,
// but only once a minute, so that a chunk that is truly missing does not make it spin.
router.onError((error, to) => {
  const last = Number(sessionStorage.getItem('reloaded') ?? 0)
  if (Date.now() - last < 60_000) {
    missing.value = to.fullPath
    return
  }
  sessionStorage.setItem('reloaded', String(Date.now()))
  window.location.assign(to.fullPath)
})
