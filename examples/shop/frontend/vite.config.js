import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// In development and preview the API is the local Django; SHOP_API names another one.
const proxy = {
  '/api/': { target: process.env.SHOP_API ?? 'http://127.0.0.1:8000', changeOrigin: true },
}

export default defineConfig({
  plugins: [vue()],
  server: { proxy },
  preview: { proxy },
  build: {
    // Drawings and fonts stay files of their own, so that a browser keeps them between releases.
    assetsInlineLimit: 0,
    // The libraries change less often than the shop: a chunk of their own outlives its releases.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: 'vue', test: /node_modules/ }] } },
    },
  },
})
